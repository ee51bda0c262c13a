"""Downloads a model from the hub, Cloud Storage or Artifactory into a version folder."""
