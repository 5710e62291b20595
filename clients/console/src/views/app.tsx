import { useEffect } from "preact/hooks";

import { api } from "../net/api.ts";
import { route } from "../state/route.ts";
import { access, keepFresh, refresh } from "../state/server.ts";
import { useStore } from "../state/store.ts";
import { nextTheme, theme } from "../state/theme.ts";
import { Icon } from "../ui/icon.tsx";
import { CallPage } from "./call-page.tsx";
import { CallsPage } from "./calls.tsx";
import { Login } from "./login.tsx";
import { OnCall } from "./on-call.tsx";
import { TalkPage } from "./talk.tsx";

export function App() {
  useEffect(keepFresh, []);
  const now = useStore(access);
  if (now.at === "unknown") return <div class="blank" aria-busy="true" />;
  return (
    <>
      <Header />
      <main id="main" class="page">
        {now.at === "unreachable" && <Unreachable why={now.why} />}
        {now.at === "login" && <Login password={now.server.password} />}
        {now.at === "in" && !now.reachable && <p class="strip" role="status">The server does not answer. This page tries again by itself.</p>}
        {now.at === "in" && <Routed />}
      </main>
    </>
  );
}

function Routed() {
  const now = useStore(route);
  useEffect(() => {
    document.title = `${{ talk: "Talk", calls: "Calls", call: "A call" }[now.at]} · Talkwire`;
  }, [now.at]);
  if (now.at === "call") return <CallPage key={now.id} id={now.id} />;
  return now.at === "calls" ? <CallsPage /> : <TalkPage />;
}

function Header() {
  const now = useStore(access);
  const where = useStore(route);
  const inside = now.at === "in";
  const live = inside ? (now.server.live_calls ?? 0) : 0;
  return (
    <header class="top">
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.querySelector<HTMLElement>("h1, button, a, input")?.focus())}>
        Skip to the content
      </a>
      <a class="brand" href="#/">
        <Mark />
        Talkwire
      </a>
      {inside && (
        <nav class="nav" aria-label="Console">
          <a href="#/" aria-current={where.at === "talk" ? "page" : undefined}>Talk</a>
          <a href="#/calls" aria-current={where.at === "talk" ? undefined : "page"}>
            Calls
            {live > 0 && <span class="count" title="live calls">{live}<span class="unseen"> live</span></span>}
          </a>
        </nav>
      )}
      <span class="grow" />
      {inside && <OnCall />}
      {inside && now.server.draining && <span class="badge warn">Draining: no new calls</span>}
      <ThemeButton />
      {inside && now.server.signed_in !== false && <SignOut />}
    </header>
  );
}

function Mark() {
  return (
    <svg width="22" height="22" viewBox="0 0 22 22" fill="none" stroke-width="2" stroke-linecap="round" aria-hidden="true">
      <path stroke="var(--user)" d="M2 8h2M7 5v6M12 2.500v11M17 6v4" />
      <path stroke="var(--bot)" d="M5 14v2M10 16.500v3M15 13v5.500M20 14v2.500" />
    </svg>
  );
}

function ThemeButton() {
  const now = useStore(theme);
  const name = { auto: "as the system", light: "light", dark: "dark" }[now];
  return (
    <button type="button" class="button quiet round" onClick={nextTheme} aria-label={`Colours: ${name}. Change`} title={`Colours: ${name}`}>
      <Icon name={({ auto: "auto", light: "sun", dark: "moon" } as const)[now]} />
    </button>
  );
}

function SignOut() {
  const leave = async (): Promise<void> => {
    await api.logout().catch(() => undefined);
    await refresh();
  };
  return (
    <button type="button" class="button quiet round" onClick={leave} aria-label="Sign out" title="Sign out">
      <Icon name="out" />
    </button>
  );
}

function Unreachable({ why }: { why: string }) {
  return (
    <section class="notice" role="status">
      <h1>No answer</h1>
      <p>{why} This page tries again by itself.</p>
      <p class="muted">If you run the server, look at its terminal; <code>make run</code> starts it.</p>
    </section>
  );
}
