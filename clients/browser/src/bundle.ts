/** The file that a server hands out: the session, and the element, defined. */

import { define, TalkwireCall } from "./element.ts";

export { define, TalkwireCall } from "./element.ts";
export * from "./index.ts";

TalkwireCall.defaultServer ??= new URL(import.meta.url).origin;
define();
