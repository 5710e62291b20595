import "./styles/base.css";
import "./styles/shell.css";
import "./styles/talk.css";
import "./styles/calls.css";
import "./styles/timeline.css";
import "./styles/call.css";

import { render } from "preact";

import { followAddress } from "./state/route.ts";
import { startTheme } from "./state/theme.ts";
import { App } from "./views/app.tsx";

startTheme();
followAddress();
const root = document.getElementById("app");
if (root) render(<App />, root);
