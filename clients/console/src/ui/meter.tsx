import { useEffect, useRef } from "preact/hooks";

const BARS = 20;
const FLOOR_DB = -60;

/** How loud the microphone is, so that one sees that one is heard. */
export function Meter({ stream, muted }: { stream: MediaStream | null; muted: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!stream) return;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      const level = Math.max(0, 1 - (10 * Math.log10(power + 1e-9)) / FLOOR_DB);
      box.current?.style.setProperty("--level", String(Math.round(level * BARS) / BARS));
    }, 60);
    return () => {
      clearInterval(timer);
      void context.close();
    };
  }, [stream]);
  return <div ref={box} class={muted ? "meter off" : "meter"} role="img" aria-label={muted ? "Microphone off" : "Microphone level"} />;
}
