import { route } from "../state/route.ts";
import { useStore } from "../state/store.ts";
import { hangUp, talk } from "../state/talk.ts";
import { Icon } from "../ui/icon.tsx";

/** Reminds of the call that goes on while another view is looked at. */
export function OnCall() {
  const now = useStore(talk);
  const where = useStore(route);
  if (now.at !== "live" || where.at === "talk") return null;
  return (
    <span class="on-call">
      <a href="#/">On a call</a>
      <button type="button" class="button small danger" onClick={hangUp} aria-label="Hang up" title="Hang up"><Icon name="hangup" size={15} /></button>
    </span>
  );
}
