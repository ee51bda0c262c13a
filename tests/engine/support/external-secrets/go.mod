// External Secrets, for the definitions of its API that a test gives to an API server. Nothing of it is built.
module llmops/tests/external-secrets

go 1.24

require github.com/external-secrets/external-secrets v1.3.2
