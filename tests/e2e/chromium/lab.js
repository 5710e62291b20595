// What a test does inside a page, put there before any script of the page itself: a microphone that it speaks into,
// ears that measure what comes out, and a record of all that the call's data channel told.
//
// All times are milliseconds since the epoch on the page's own monotonic clock.
(() => {
  const RATE_HZ = 48_000;
  const LOUD = 0.015; // of full scale; what an encoder makes of silence is below
  const now = () => performance.timeOrigin + performance.now();
  const lab = { now, frames: [], peers: [], channels: [], clips: {}, said: [], levels: [], told: [], tools: {}, grants: 0 };
  window.lab = lab;

  // --- sound ------------------------------------------------------------------------------------------------

  let context;
  let destination;
  let offset = Infinity; // from the context's time to ours, where the message that tells it was not delayed
  let ready;

  const sound = () =>
    (ready ??= (async () => {
      context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
      await context.audioWorklet.addModule(URL.createObjectURL(new Blob([labMeter], { type: "text/javascript" })));
      destination = context.createMediaStreamDestination();
      const clock = new AudioWorkletNode(context, "meter");
      const silence = new ConstantSourceNode(context, { offset: 0 });
      silence.connect(destination);
      silence.connect(clock);
      silence.start();
      clock.port.onmessage = ({ data: [at] }) => (offset = Math.min(offset, now() - at * 1000));
    })());

  const listen = async (stream) => {
    await sound();
    const element = new Audio(); // without one nothing of a remote stream is decoded
    element.srcObject = stream;
    element.muted = true;
    const meter = new AudioWorkletNode(context, "meter");
    meter.port.onmessage = ({ data }) => lab.levels.push(data);
    context.createMediaStreamSource(stream).connect(meter);
    await element.play();
  };

  // What was heard: [end of the block, loudness] of each 10 ms.
  lab.heard = () => lab.levels.map(([at, level]) => [at * 1000 + offset, level]);
  lab.quietFor = () => {
    const last = lab.levels.findLast(([, level]) => level > LOUD);
    return last ? now() - (last[0] * 1000 + offset) : Infinity;
  };

  lab.load = async (name, base64) => {
    await sound();
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    lab.clips[name] = await context.decodeAudioData(bytes.buffer);
  };

  // Speak into the microphone, from now on; answers when the first and the last loud sample go.
  lab.say = (name) => {
    const clip = lab.clips[name];
    const samples = clip.getChannelData(0);
    const first = samples.findIndex((value) => Math.abs(value) > LOUD);
    const last = samples.findLastIndex((value) => Math.abs(value) > LOUD);
    const source = new AudioBufferSourceNode(context, { buffer: clip });
    source.connect(destination);
    const start = context.currentTime + 0.02;
    source.start(start);
    const said = [first, last].map((sample) => (start + sample / clip.sampleRate) * 1000 + offset);
    lab.said.push(said);
    return said;
  };

  if (!window.labRealMicrophone) {
    const native = navigator.mediaDevices?.getUserMedia?.bind(navigator.mediaDevices);
    if (native) {
      navigator.mediaDevices.getUserMedia = async (constraints) => {
        const asked = await native(constraints); // for its permission
        asked.getTracks().forEach((track) => track.stop());
        await sound();
        lab.grants += 1;
        return destination.stream.clone();
      };
    }
  }

  // --- the call ---------------------------------------------------------------------------------------------

  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration) {
      super(configuration);
      lab.peers.push(this);
      this.addEventListener("track", ({ track }) => void listen(new MediaStream([track])));
    }

    createDataChannel(...what) {
      const channel = super.createDataChannel(...what);
      lab.channels.push(channel);
      channel.addEventListener("message", ({ data }) => lab.frames.push({ at: now(), ...JSON.parse(data) }));
      return channel;
    }
  };

  lab.send = (action) => lab.channels.at(-1).send(JSON.stringify(action));

  // The candidates of the pair that carries the call now.
  lab.pair = async () => {
    const stats = await lab.peers.at(-1).getStats();
    const transport = [...stats.values()].find((report) => report.type === "transport");
    const pair = stats.get(transport?.selectedCandidatePairId);
    return pair && [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)].map((c) => c.candidateType);
  };

  // --- a session of the browser client ----------------------------------------------------------------------

  const NAMES = [
    "connection.established", "connection.lost", "connection.closed", "session.ready", "mic.pending", "mic.granted",
    "mic.denied", "input.started", "device.changed", "audio.started", "audio.playing", "user.speech.started",
    "user.speech.ended", "listening", "message", "message.removed", "history", "bot.speech.started",
    "bot.speech.ended", "talk.interrupted", "agent.state", "turn.latency", "tool.call", "tool.result", "mute", "hold",
    "idle.warning", "server.warning",
  ];

  // Make one, and keep what it tells.
  lab.session = async (client, options) => {
    const { TalkwireSession } = await import(client);
    lab.live = new TalkwireSession(options);
    for (const name of NAMES) {
      lab.live.on(name, (data) => lab.told.push({ name, at: now(), data: JSON.parse(JSON.stringify(data)) }));
    }
    lab.live.on("tool.call", (call) => call.runHere && lab.tools[call.name]?.(call));
  };

  // Whether it became ready; else why not.
  lab.connect = () =>
    lab.live.connect().then(
      () => null,
      ({ code, message, detail }) => ({ code, message, detail }),
    );

  // --- a call by hand ---------------------------------------------------------------------------------------

  // With nothing but what the documentation of the wire says.
  lab.call = async (server, offer) => {
    const asked = await fetch(`${server}/webrtc/ice-servers?token=${encodeURIComponent(offer.token ?? "")}`);
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    const peer = new RTCPeerConnection(await asked.json());
    microphone.getTracks().forEach((track) => peer.addTrack(track, microphone));
    const channel = peer.createDataChannel("events", { ordered: true });
    await peer.setLocalDescription(await peer.createOffer());
    while (peer.iceGatheringState !== "complete") {
      await new Promise((done) => peer.addEventListener("icegatheringstatechange", done, { once: true }));
    }
    const response = await fetch(`${server}/webrtc/offer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sdp: peer.localDescription.sdp, type: "offer", ...offer }),
    });
    const answer = await response.json();
    if (!response.ok) {
      peer.close();
      return { status: response.status, ...answer };
    }
    await peer.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
    setInterval(() => channel.readyState === "open" && channel.send("ping"), 1000);
    return { status: response.status, call_id: answer.call_id };
  };
})();
