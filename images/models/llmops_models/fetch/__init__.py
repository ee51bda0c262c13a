"""Downloads a model, or data, from the hub, Cloud Storage or Artifactory into a version folder."""
