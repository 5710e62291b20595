import "./styles/base.css";
import "./styles/shell.css";
import "./styles/talk.css";
import "./styles/calls.css";
import "./styles/timeline.css";
import "./styles/call.css";
import "./styles/live.css";

import { render } from "preact";

import { LivePage } from "./live/listen.tsx";
import { liveUrl } from "./live/sound.ts";
import { followAddress } from "./state/route.ts";
import { startTheme } from "./state/theme.ts";
import { App } from "./views/app.tsx";

startTheme();
const root = document.getElementById("app");
// The same page plays one call, at an address of its own.
const live = /^\/live\/([^/]+)\/player$/.exec(location.pathname)?.[1];
if (live !== undefined && root) {
  const id = decodeURIComponent(live);
  render(<LivePage id={id} url={liveUrl(id, new URLSearchParams(location.search).get("token"))} />, root);
} else {
  followAddress();
  if (root) render(<App />, root);
}
