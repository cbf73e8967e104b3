# One static binary and the certificates of those who sign for NATS servers: there is no shell, no libc and nobody but the user that
# it runs as. Time zones are in the binary.
#   docker build -t millrace .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /millrace ./cmd/millrace

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /millrace /millrace
USER 65532:65532
# The API, the health of roles without it, and metrics.
EXPOSE 8080 8081 9464
# MILLRACE_SERVER says where, if that is not http://127.0.0.1:8080.
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=6 CMD ["/millrace", "ready"]
ENTRYPOINT ["/millrace"]
