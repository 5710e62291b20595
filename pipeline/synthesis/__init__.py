"""What the embedded voices share: one worker process per engine, its queue, and the shaping of its audio.

::

    engine.py   the server's side: WorkerTts queues requests and relays what the worker says
    wire.py     the frames between the two
    worker.py   the worker's side: serve() and the Outlet that a synthesiser speaks into
    shaping.py  silence at the ends, level, sample rate
    spans.py    which stretch of audio belongs to which token; a long text cut into pieces
"""
