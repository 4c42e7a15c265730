"""The viewer: circuits across steps and sizes, by looking. One front end behind three doors.

``messages``  what the front end asks and is told
``answers``   the answers, of a run
``live``      those that take a model
``server``    a page, by ``circuits view``
``widget``    in a notebook, by ``circuits.view``
``export``    a single HTML file, by ``circuits export``
``source``    the front end, in TypeScript; ``bundle`` is what is built of it
"""
