import { agents } from "../state/server.ts";
import { useStore } from "../state/store.ts";

export function TalkPage() {
  const online = useStore(agents);
  return (
    <div class="talk">
      <h1 tabIndex={-1}>Talk to an agent</h1>
      <p class="muted">{online?.length ?? 0} agents are online.</p>
    </div>
  );
}
