"""Audio as values: frames, codecs, voice activity, play-out. Imports nothing else of the project."""
