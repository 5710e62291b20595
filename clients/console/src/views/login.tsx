import { useRef, useState } from "preact/hooks";

import { Refused, api } from "../net/api.ts";
import { refresh } from "../state/server.ts";

export function Login({ password }: { password: boolean }) {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const key = field.current?.value.trim() ?? "";
    if (!key) return;
    setBusy(true);
    setProblem("");
    try {
      await api.login(key);
      await refresh();
    } catch (error) {
      setProblem(error instanceof Refused ? error.message : "That did not work. Try again.");
      field.current?.select();
    }
    setBusy(false);
  };
  const what = password ? "API key or console password" : "API key";
  return (
    <form class="login card" onSubmit={submit}>
      <h1>Sign in</h1>
      <p class="muted">This console shows live calls, so it is open only to who runs the server.</p>
      {/* So that password managers know what it is for. */}
      <input class="unseen" type="text" name="username" autocomplete="username" value="talkwire" tabIndex={-1} aria-hidden="true" readOnly />
      <label for="key">{what}</label>
      <input ref={field} id="key" name="key" type="password" autocomplete="current-password" spellcheck={false} autofocus required aria-describedby="key-help" aria-invalid={problem !== ""} />
      {problem && <p class="problem" role="alert">{problem}</p>}
      <button type="submit" class="button primary" disabled={busy}>{busy ? "Signing in…" : "Sign in"}</button>
      <p id="key-help" class="muted small">
        The key is in the setting <code>TALKWIRE_API_KEYS</code>, or in the file <code>api-key</code> in the server's data folder.
      </p>
    </form>
  );
}
