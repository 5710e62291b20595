import { useEffect, useState } from "preact/hooks";

import { Icon } from "./icon.tsx";

/** Copies `text()`; says so for a moment. Where the clipboard is closed to us (plain http), the old way is tried. */
export function Copy({ text, label = "Copy", quiet = false }: { text: () => string; label?: string; quiet?: boolean }) {
  const [told, setTold] = useState("");
  useEffect(() => {
    if (!told) return;
    const timer = setTimeout(() => setTold(""), 1600);
    return () => clearTimeout(timer);
  }, [told]);
  const act = async (event: Event): Promise<void> => {
    event.stopPropagation();
    setTold((await copy(text())) ? "Copied" : "Not allowed");
  };
  return (
    <button type="button" class={quiet ? "button quiet small" : "button small"} onClick={act} aria-label={told || label} title={label}>
      <Icon name={told === "Copied" ? "check" : "copy"} size={15} />
      <span class={quiet ? "unseen" : ""} aria-live="polite">{told || label}</span>
    </button>
  );
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
