"""Uploads a finished model to Cloud Storage or Artifactory."""
