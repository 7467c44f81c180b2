"""The story of Mien, played by outside HTTP clients against a real service with synthetic people.

Nothing here imports the service: what the demo shows, any client can do.

* `story`: the steps in order; `play` tells them and says whether every one held.
* `giving`, `asking`, `leaving`, `proving`: the four acts; `logged`: what they look up in the log.
* `scene`, `http_client`, `narrator`, `people`: shared state, the HTTP client, the terminal output and the photos.
* `stage`: the service itself, in a directory of its own.
* `holder`, `outside`: what people keep, and the command `mien` where nothing of the service is.
* `scan`: the search through every byte the service wrote.
"""

from app.demo.story import play

__all__ = ["play"]
