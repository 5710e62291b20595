/** How `<talkwire-call>` looks. Everything that a page may want otherwise is a custom property. */

export const CSS = `
:host {
  --_accent: var(--talkwire-accent, #0f6b5c);
  --_on-accent: var(--talkwire-on-accent, #fff);
  --_background: var(--talkwire-background, #fff);
  --_text: var(--talkwire-text, #1b1f1e);
  --_quiet: var(--talkwire-quiet, #5b6663);
  --_line: var(--talkwire-line, #dfe4e2);
  --_surface: var(--talkwire-surface, #f4f6f5);
  --_danger: var(--talkwire-danger, #b3261e);
  --_radius: var(--talkwire-radius, 14px);
  display: block; box-sizing: border-box; max-width: 30rem; color-scheme: light;
  font: 16px/1.5 var(--talkwire-font, system-ui, sans-serif); color: var(--_text);
}
:host([hidden]) { display: none; }
:host([theme="dark"]) {
  --_accent: var(--talkwire-accent, #5ad1b8); --_on-accent: var(--talkwire-on-accent, #06211c);
  --_background: var(--talkwire-background, #151918); --_text: var(--talkwire-text, #eef2f1);
  --_quiet: var(--talkwire-quiet, #a0aba8); --_line: var(--talkwire-line, #2c3331);
  --_surface: var(--talkwire-surface, #1e2422); --_danger: var(--talkwire-danger, #ff9d94); color-scheme: dark;
}
@media (prefers-color-scheme: dark) {
  :host(:not([theme="light"])) {
    --_accent: var(--talkwire-accent, #5ad1b8); --_on-accent: var(--talkwire-on-accent, #06211c);
    --_background: var(--talkwire-background, #151918); --_text: var(--talkwire-text, #eef2f1);
    --_quiet: var(--talkwire-quiet, #a0aba8); --_line: var(--talkwire-line, #2c3331);
    --_surface: var(--talkwire-surface, #1e2422); --_danger: var(--talkwire-danger, #ff9d94); color-scheme: dark;
  }
}
*, *::before, *::after { box-sizing: border-box; }
[hidden] { display: none !important; }
.card {
  display: flex; flex-direction: column; gap: 14px; padding: 16px;
  background: var(--_background); border: 1px solid var(--_line); border-radius: var(--_radius);
}
.head { display: flex; align-items: center; gap: 10px; min-height: 24px; }
.dot { flex: none; width: 10px; height: 10px; border-radius: 50%; background: var(--_quiet); transition: background .2s; }
.dot[data-look="idle"], .dot[data-look="listening"], .dot[data-look="speaking"] { background: var(--_accent); }
.dot[data-look="trouble"] { background: var(--_danger); }
.dot[data-look="listening"] { animation: wave 1.1s ease-out infinite; }
.dot[data-look="speaking"] { animation: pulse .7s ease-in-out infinite alternate; }
.dot[data-look="busy"], .dot[data-look="thinking"] { animation: blink 1s ease-in-out infinite alternate; }
@keyframes wave { from { box-shadow: 0 0 0 0 var(--_accent); } to { box-shadow: 0 0 0 8px transparent; } }
@keyframes pulse { to { transform: scale(1.35); } }
@keyframes blink { to { opacity: .25; } }
.status { font-weight: 600; }
.latency { margin-left: auto; font-size: 13px; color: var(--_quiet); font-variant-numeric: tabular-nums; white-space: nowrap; }
.trouble { padding: 10px 12px; border-radius: 10px; background: var(--_surface); border-left: 3px solid var(--_danger); }
.log {
  display: flex; flex-direction: column; gap: 8px; margin: 0; padding: 0 2px; list-style: none;
  max-height: var(--talkwire-height, 22rem); overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin;
}
.log li { max-width: 88%; padding: 7px 12px; border-radius: 14px; overflow-wrap: anywhere; white-space: pre-wrap; }
.bot { align-self: flex-start; background: var(--_surface); border-bottom-left-radius: 4px; }
.user { align-self: flex-end; background: var(--_accent); color: var(--_on-accent); border-bottom-right-radius: 4px; }
.user.open { opacity: .75; }
.dropped { opacity: .6; }
.cut { font-size: 13px; color: var(--_quiet); }
.row { display: flex; gap: 8px; }
button, input { font: inherit; min-height: 44px; border-radius: 10px; }
button {
  padding: 0 16px; border: 1px solid var(--_line); background: var(--_background); color: var(--_text); cursor: pointer;
}
button:hover { background: var(--_surface); }
button.main { flex: 1; border-color: transparent; background: var(--_accent); color: var(--_on-accent); font-weight: 600; }
button.main:hover { filter: brightness(1.08); }
button.main.ends { background: transparent; border-color: var(--_danger); color: var(--_danger); }
button.on { background: var(--_text); color: var(--_background); border-color: var(--_text); }
button:disabled { opacity: .5; cursor: default; }
input {
  flex: 1; min-width: 0; padding: 0 12px; border: 1px solid var(--_line); background: var(--_background);
  color: var(--_text);
}
input::placeholder { color: var(--_quiet); opacity: 1; }
:focus-visible { outline: 3px solid var(--_accent); outline-offset: 2px; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: reduce) { .dot { animation: none !important; } }
@media (max-width: 420px) { .card { padding: 12px; } button { padding: 0 12px; } }
`;
