/**
 * What the node and the image builder run that comes from Debian. Libraries are named too: a machine may lack any of
 * them, and nothing is installed on it.
 */
export const debianPackages = [
  "containerd",
  "containernetworking-plugins",
  "docker-registry",
  "docker.io",
  "libmnl0",
  "libnftables1",
  "libnftnl11",
  "nftables",
  "openssl",
  "prometheus",
  "runc",
  "tini",
] as const;
