/** A call in a React component: `const { view, connect } = useTalkwire({ agent: "support" })`. */

import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from "react";

import type { EventName, Events } from "./events.ts";
import type { TalkwireOptions, Token } from "./options.ts";
import { type SessionView, TalkwireSession } from "./session.ts";

/** What to do at which event. */
export type Handlers = { readonly [Name in EventName]?: (data: Events[Name]) => void };

export interface Talkwire {
  /** All that is known; the component renders again when it changes. */
  readonly view: SessionView;
  /** For whatever has no function of its own here. The same until agent or server change. */
  readonly session: TalkwireSession;
  /** Calls. What goes wrong is in `view.closed`, so that nobody need catch it. */
  readonly connect: () => Promise<void>;
  readonly disconnect: () => void;
  readonly setMuted: (muted: boolean) => Promise<void>;
  readonly sendText: (text: string) => Promise<void>;
}

/**
 * One session, for as long as the component is there; it hangs up when that goes. Another agent, server or token URL makes
 * another session; other options count from the next of these on. `handlers` may be new functions at each render.
 */
export function useTalkwire(
  options: TalkwireOptions,
  handlers: Handlers = {},
  make: (options: TalkwireOptions) => TalkwireSession = made,
): Talkwire {
  const now = useRef({ options, handlers, make });
  now.current = { options, handlers, make };
  const { agent, server, tokenUrl } = options;

  const session = useMemo(() => {
    const { tokenProvider } = now.current.options;
    // The newest one is asked: it may know of another user by then.
    const provided = async (): Promise<Token | string> => (await now.current.options.tokenProvider?.()) ?? "";
    return now.current.make({ ...now.current.options, ...(tokenProvider ? { tokenProvider: provided } : {}) });
  }, [agent, server, tokenUrl]);

  useEffect(() => {
    const names = Object.keys(now.current.handlers) as EventName[];
    const undo = names.map((name) =>
      session.on(name, (data) => (now.current.handlers[name] as ((data: unknown) => void) | undefined)?.(data)),
    );
    return () => {
      session.disconnect();
      for (const off of undo) off();
    };
  }, [session]);

  const subscribe = useCallback((changed: () => void) => session.on("change", changed), [session]);
  const look = useCallback(() => session.view, [session]);
  const view = useSyncExternalStore(subscribe, look, look);

  return useMemo(
    () => ({
      view,
      session,
      connect: () => session.connect().catch(() => undefined),
      disconnect: () => session.disconnect(),
      setMuted: (muted: boolean) => (muted ? session.mute() : session.unmute()),
      sendText: (text: string) => session.sendText(text),
    }),
    [view, session],
  );
}

function made(options: TalkwireOptions): TalkwireSession {
  return new TalkwireSession(options);
}
