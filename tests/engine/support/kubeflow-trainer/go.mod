// Kubeflow Trainer, for the definitions of its API that a test gives to an API server. Nothing of it is built.
module llmops/tests/kubeflow-trainer

go 1.24

require github.com/kubeflow/trainer/v2 v2.3.0
