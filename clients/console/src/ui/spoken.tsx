/** What was said, with what was heard of it. Used by the captions and by the transcript. */

import { useState } from "preact/hooks";

import { heardOf } from "../fold/heard.ts";
import type { Message, Saying } from "../fold/model.ts";

export function BotText({ message }: { message: Message }) {
  const { heard, rest } = heardOf(message);
  const cut = message.state === "interrupted" ? rest.trim() : "";
  const unheard = message.startMs === null;
  return (
    <>
      <span class={message.aborted && !unheard ? "dropped" : undefined}>{heard}</span>
      {cut && (
        <>
          {heard && " "}
          <Unheard text={cut} title={unheard ? "Never heard" : "Cut off: the caller did not hear this"} />
        </>
      )}
      {message.state === "paused" && <span class="muted"> (paused)</span>}
    </>
  );
}

const SHOWN = 110;

/** What was not heard. Of a long text the beginning will do, until somebody wants to see the rest. */
function Unheard({ text, title }: { text: string; title: string }) {
  const [open, setOpen] = useState(false);
  const long = text.length > SHOWN * 1.5;
  const shown = long && !open ? text.slice(0, text.lastIndexOf(" ", SHOWN)) : text;
  const more = text.split(/\s+/).length - shown.split(/\s+/).length;
  return (
    <>
      <del class="cut" title={title}>
        <span class="unseen">not heard: </span>
        {shown}
      </del>
      {long && (
        <button type="button" class="more" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "less" : `${more} words more`}</button>
      )}
    </>
  );
}

export function UserText({ said }: { said: Saying }) {
  const settled = said.final ? said.text : said.settled && said.text.startsWith(said.settled) ? said.settled : "";
  const interim = said.text.slice(settled.length);
  return (
    <>
      {settled}
      {interim && <span class="interim">{interim}</span>}
    </>
  );
}

/** What became of a message that was not simply heard. */
export function fate(message: Message): string | null {
  if (message.state !== "interrupted") return null;
  if (message.startMs === null) return message.aborted === "new_turn" ? "not spoken: the caller went on" : "not spoken";
  const after = ` after ${(message.playedMs / 1000).toFixed(1)} s`;
  if (message.reason === "early") return `interrupted early${after}; not kept`;
  return message.reason === "cancelled" ? `cancelled${after}` : `interrupted${after}`;
}
