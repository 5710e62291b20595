import type { Timing } from "../fold/timing.ts";
import { millis } from "../timeline/items.ts";

/** The wait for an answer as a bar: end of speech, end of turn, first word heard. `scaleMs` is the whole width. */
export function TimingBar({ timing, scaleMs }: { timing: Timing; scaleMs: number }) {
  const { phase, endpointMs, answerMs, totalMs, parts } = timing;
  const share = (ms: number): string => `${Math.min(100, (ms / scaleMs) * 100).toFixed(1)}%`;
  const growing = phase === "ending" || phase === "answering";
  const told = parts.map(({ name, ms }) => `${name} ${millis(ms)}`).join(", ");
  return (
    <div class={`timing ${phase}`} title={told}>
      <div class="track" aria-hidden="true">
        <span class="ending" style={{ width: share(endpointMs) }} />
        <span class="answering" style={{ width: share(answerMs) }} />
      </div>
      <span class="figure total">
        {phase === "unanswered" ? "no answer" : phase === "speaking" ? "" : growing ? <span class="muted">{millis(totalMs)}</span> : millis(totalMs)}
      </span>
      <span class="unseen">{phase === "answered" ? `end of turn after ${millis(endpointMs)}, answer after ${millis(answerMs)} more` : ""}</span>
    </div>
  );
}

/** A scale that all of a call's bars share: at least a second, and never much more than the longest. */
export function scaleOf(timings: readonly Timing[]): number {
  const longest = timings.reduce((most, { totalMs }) => Math.max(most, totalMs), 0);
  return Math.min(8000, Math.max(1000, Math.ceil(longest / 500) * 500));
}
