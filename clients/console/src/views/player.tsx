import { useEffect, useRef, useState } from "preact/hooks";

import { api } from "../net/api.ts";
import type { Look } from "../state/look.ts";

/** The recording, in the browser's own player, in step with the timeline. `startMs`: where in the call it begins. */
export function Player({ id, look, startMs }: { id: string; look: Look; startMs: number }) {
  const audio = useRef<HTMLAudioElement>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const element = audio.current;
    if (!element) return;
    look.seek = (ms, play) => {
      element.currentTime = Math.max(0, (ms - startMs) / 1000);
      look.cursorMs.set(Math.max(0, ms));
      if (play) void element.play().catch(() => undefined);
    };
    let frame = 0;
    const follow = (): void => {
      look.cursorMs.set(element.currentTime * 1000 + startMs);
      if (!element.paused) frame = requestAnimationFrame(follow);
    };
    const begin = (): void => (cancelAnimationFrame(frame), follow());
    for (const name of ["play", "seeked"]) element.addEventListener(name, begin);
    return () => {
      look.seek = null;
      cancelAnimationFrame(frame);
      for (const name of ["play", "seeked"]) element.removeEventListener(name, begin);
    };
  }, [id, startMs]);
  return (
    <section class="player card" aria-label="Recording">
      {failed ? (
        <p class="muted">The recording cannot be played: it is gone, or not written yet.</p>
      ) : (
        <audio ref={audio} controls preload="metadata" src={api.recordingUrl(id)} onError={() => setFailed(true)} />
      )}
      <a class="button small" href={api.downloadUrl(id)} download>Download</a>
    </section>
  );
}
