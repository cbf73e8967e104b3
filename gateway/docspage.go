package gateway

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/swaggest/swgui/v5/static"
	"github.com/valyala/fasthttp"
)

// The documentation is Swagger UI on our own description, from the binary:
// nothing is fetched from elsewhere, and its policy allows nothing else, nor
// anything inline. Swagger UI draws with data: images.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const docsPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Millrace API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

const docsStart = `SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null
});
`

// mountDocs serves the description, made at the first request from what is
// registered by then, and the pages that show it.
func mountDocs(app *fiber.App, description *huma.OpenAPI) {
	describe := sync.OnceValues(func() ([]byte, error) {
		if err := describeExamples(description); err != nil {
			return nil, err
		}
		return json.Marshal(description)
	})
	app.Get("/openapi.json", func(c *fiber.Ctx) error {
		body, err := describe()
		if err != nil {
			return fmt.Errorf("describe the API: %w", err)
		}
		return sendDoc(c, "application/openapi+json", body)
	})
	app.Get("/docs", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentSecurityPolicy, docsPolicy)
		return sendDoc(c, "text/html; charset=utf-8", []byte(docsPage))
	})
	app.Get("/docs/start.js", func(c *fiber.Ctx) error {
		return sendDoc(c, "text/javascript; charset=utf-8", []byte(docsStart))
	})
	mountAsset(app, "swagger-ui-bundle.js", "text/javascript; charset=utf-8")
	mountAsset(app, "swagger-ui.css", "text/css; charset=utf-8")
	mountAsset(app, "favicon-32x32.png", "image/png")
}

// mountAsset serves a file of Swagger UI. The module has the large ones
// compressed; a client that does not take gzip gets them unpacked.
func mountAsset(app *fiber.App, name, mediaType string) {
	app.Get("/docs/"+name, func(c *fiber.Ctx) error {
		body, err := static.FS.ReadFile(name)
		if err == nil {
			return sendDoc(c, mediaType, body)
		}
		if body, err = static.FS.ReadFile(name + ".gz"); err != nil {
			return err
		}
		c.Vary(fiber.HeaderAcceptEncoding)
		if c.AcceptsEncodings("gzip") == "gzip" {
			c.Set(fiber.HeaderContentEncoding, "gzip")
		} else if body, err = fasthttp.AppendGunzipBytes(nil, body); err != nil {
			return err
		}
		return sendDoc(c, mediaType, body)
	})
}

func sendDoc(c *fiber.Ctx, mediaType string, body []byte) error {
	c.Set(fiber.HeaderContentType, mediaType)
	c.Set(fiber.HeaderCacheControl, "max-age=600")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	return c.Send(body)
}
