"""Swagger UI at `/docs`, served from local files.

FastAPI's own page loads scripts from a CDN, which would see every reader and could change the page.
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
"""Content Security Policy of the page; it has no inline script or style."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
"""The files of the package `fastapi-swagger` that are served."""
START = "start.js"

# Relative addresses work behind a proxy's path prefix too.
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
<noscript>This page needs JavaScript. The OpenAPI document is at <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# The default `validatorUrl` sends the address of the document to another host.
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
    """Add the page and its files to *app*."""
    page = PAGE.format(title=app.title)
    folder = files("fastapi_swagger") / "resources"
    served = {name: (folder.joinpath(name).read_bytes(), kind) for name, kind in FILES.items()}
    served[START] = (SCRIPT.encode(), "text/javascript")

    async def show_page(_: Request) -> Response:
        return Response(page, media_type="text/html", headers=HEADERS)

    async def send_file(request: Request) -> Response:
        if (found := served.get(request.path_params["name"])) is None:
            raise NotFoundError
        content, kind = found
        return Response(content, media_type=kind, headers=HEADERS)

    app.add_route(PATH, show_page, include_in_schema=False)
    app.add_route(f"{PATH}/{{name}}", send_file, include_in_schema=False)
