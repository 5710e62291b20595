"""One folder a carrier: ``wire`` (pure), ``leg`` (the audio path), and what it needs beside."""
