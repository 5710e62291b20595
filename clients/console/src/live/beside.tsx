import { useState } from "preact/hooks";

import { type Verb, api } from "../net/api.ts";
import type { CallFeed } from "../state/feed.ts";
import { Icon } from "../ui/icon.tsx";
import { Listen } from "./listen.tsx";
import { liveUrl } from "./sound.ts";

/** What one can do in a live call: listen, say something in the bot's voice, whisper to it, take its place, end it. */
export function Beside({ feed }: { feed: CallFeed }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const [ending, setEnding] = useState(false);
  const [busy, setBusy] = useState(false);
  const { handoff } = feed.call;
  const ask = async (verb: Verb, words?: string): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      await api.supervise(feed.id, verb, words);
      if (words !== undefined) setText("");
    } catch (error) {
      setProblem(error instanceof Error ? error.message : "It was not done.");
    }
    setBusy(false);
  };
  const words = text.trim();
  return (
    <section class="beside card" aria-label="Beside the bot">
      <Listen url={liveUrl(feed.id)} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (words) void ask("say", words);
        }}
      >
        <input value={text} onInput={(event) => setText(event.currentTarget.value)} maxLength={4000} placeholder="Words for the caller, or for the bot" aria-label="Words for the caller, or for the bot" />
        <button type="submit" class="button small" disabled={!words || busy} title="Spoken to the caller in the bot's voice">Say</button>
        <button type="button" class="button small" disabled={!words || busy} onClick={() => void ask("whisper", words)} title="Told to the bot's model; the caller does not hear it">Whisper</button>
      </form>
      <span class="verbs">
        {handoff ? (
          <button type="button" class="button small" disabled={busy} onClick={() => void ask("release")}><Icon name="play" size={15} />Release</button>
        ) : (
          <button type="button" class="button small" disabled={busy} onClick={() => void ask("takeover")} title="The bot falls silent; what you say is spoken"><Icon name="pause" size={15} />Take over</button>
        )}
        {ending ? (
          <>
            <button type="button" class="button small danger" disabled={busy} onClick={() => (setEnding(false), void ask("end"))}>End it</button>
            <button type="button" class="button small quiet" onClick={() => setEnding(false)}>No</button>
          </>
        ) : (
          <button type="button" class="button small danger" disabled={busy} onClick={() => setEnding(true)}><Icon name="hangup" size={15} />End call</button>
        )}
      </span>
      {handoff && <p class="wait-text small" role="status">{handoff.active ? `${handoff.by} has the conversation: the bot is silent.` : `${handoff.by} takes over when the bot has finished.`}</p>}
      {problem && <p class="problem small" role="alert">{problem}</p>}
    </section>
  );
}
