// Tells the loudness of what comes in, for each 10 ms, with the time at which it was over.
const BLOCK = 480;

registerProcessor(
  "meter",
  class extends AudioWorkletProcessor {
    sum = 0;
    count = 0;

    process([[samples]]) {
      for (let i = 0; i < 128; i++) {
        const value = samples ? samples[i] : 0;
        this.sum += value * value;
        if (++this.count === BLOCK) {
          this.port.postMessage([(currentFrame + i + 1) / sampleRate, Math.sqrt(this.sum / BLOCK)]);
          this.sum = this.count = 0;
        }
      }
      return true;
    }
  },
);
