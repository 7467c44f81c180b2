"""The contract for people at `/docs`: Swagger UI, from files on this machine. No other host is asked for anything.

The framework's own page loads its scripts from a CDN, which would learn who reads, and could change what they see.
"""

from importlib.resources import files

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from app.kit.errors import NotFoundError

PATH = "/docs"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load (Content Security Policy 3). Nothing is in line."""
GUARDED = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
"""What is served of the package `fastapi-swagger`."""
START = "start.js"

# Addresses are relative, so that the page works behind a proxy's prefix too.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The contract itself is at <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Without `validatorUrl: null` the document's address goes to a validator elsewhere.
SCRIPT = """"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  layout: "BaseLayout",
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
});
"""


def install(app: FastAPI) -> None:
    """Let *app* serve the page and its files. It describes the contract, and reads nothing."""
    page = PAGE.format(title=app.title)
    folder = files("fastapi_swagger") / "resources"
    served = {name: (folder.joinpath(name).read_bytes(), kind) for name, kind in FILES.items()}
    served[START] = (SCRIPT.encode(), "text/javascript")

    async def show(_: Request) -> Response:
        return Response(page, media_type="text/html", headers=GUARDED)

    async def give(request: Request) -> Response:
        if (found := served.get(request.path_params["name"])) is None:
            raise NotFoundError
        content, kind = found
        return Response(content, media_type=kind, headers=GUARDED)

    app.add_route(PATH, show, include_in_schema=False)
    app.add_route(f"{PATH}/{{name}}", give, include_in_schema=False)
