FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /millrace ./cmd/millrace

# Static and without a shell, but with the certificates and time zones that scratch lacks; runs as nobody in particular.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /millrace /usr/local/bin/millrace
# The one thing that a health check needs from a shell's world.
COPY --from=busybox:1.37-musl /bin/busybox /usr/local/bin/wget
# The API, and the health of roles without it.
EXPOSE 8080 8081
ENTRYPOINT ["millrace"]
