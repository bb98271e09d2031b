"use strict";

// Shows /api/v1/openapi.json. A browser that is signed in to the console may try the routes out: its changes carry the token
// that the CSRF cookie holds.
window.addEventListener("load", () => {
  const cookie = (name) =>
    document.cookie.split("; ").map((pair) => pair.split("=")).filter(([key]) => key === name).map(([, value]) => value)[0];

  window.ui = SwaggerUIBundle({
    url: "/api/v1/openapi.json",
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
    requestInterceptor: (request) => {
      const token = cookie("csrftoken");
      if (token && new URL(request.url, location.href).origin === location.origin) {
        request.headers["X-CSRFToken"] = token;
      }
      return request;
    },
  });
});
