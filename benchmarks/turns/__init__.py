"""End of turn: dead air against false cut-offs, on the folder of recorded speech.

Each recording passes the product's own chain (Silero, the segmenter, then words) as clean 16 kHz, as mu-law at
8 kHz, and in white noise and babble of six voices at 20 and 10 dB. The words are the true ones, known 200 ms after
the voice ended, or those of the embedded recogniser, known after 360 ms. Each policy is swept over its settings;
what is printed is the least mean dead air among the settings that cut off at most 5 or 10 % of the pauses of
100 ms and more within turns, as the public eot-bench does. Dead air is counted from the true end of the voice, so
that the detector's lateness (about 50 ms) is part of it.

How much this is worth: the set is small, most of it is read, and it is not the public benchmark's. Of 14 pauses 5 %
is less than one, so that one pause decides. Only ratios within one run mean anything; their 90 % intervals come from
drawing the recordings anew. "Setting held out" chooses the setting for each recording on the others. The short
commands among the recordings have no question before them, which in a call there would be.
"""
