import { Component, type ComponentChildren, type FunctionComponent } from "preact";

/**
 * A component that is drawn anew only when one of its properties is another one. What is folded of a call changes in
 * place, so that such a component needs a `stamp` of what it shows.
 */
export function memo<Props extends object>(draw: (props: Props) => ComponentChildren): FunctionComponent<Props> {
  class Memo extends Component<Props> {
    override shouldComponentUpdate(next: Props): boolean {
      const keys = Object.keys(next) as (keyof Props)[];
      return keys.some((key) => !Object.is(next[key], this.props[key as keyof typeof this.props]));
    }
    override render(): ComponentChildren {
      return draw(this.props as Props);
    }
  }
  return Memo as unknown as FunctionComponent<Props>;
}
