import { Component, type ComponentChildren, type FunctionComponent } from "preact";

/**
 * A component that is drawn anew only when one of the properties in `keys` is another one. What is folded of a call
 * changes in place, so that such a component has a stamp of what it shows among them.
 */
export function memo<Props extends object>(draw: (props: Props) => ComponentChildren, keys: readonly (keyof Props)[]): FunctionComponent<Props> {
  class Memo extends Component<Props> {
    override shouldComponentUpdate(next: Props): boolean {
      const now: Props = this.props;
      return keys.some((key) => !Object.is(next[key], now[key]));
    }
    override render(): ComponentChildren {
      return draw(this.props as Props);
    }
  }
  return Memo as unknown as FunctionComponent<Props>;
}
