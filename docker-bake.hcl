# The images: docker buildx bake [TARGET...], with REGISTRY, TAG, REVISION and SOURCE of the environment.
# Targets are `platform` and every location by its Dagster name, which docker-bake.json has from the register.
# `make images` calls it, brings a builder where there is none, and writes down the digests.

variable "REGISTRY" {
  default     = "localhost"
  description = "Where the images go: a host, and a path on it if need be."
}

variable "TAG" {
  default     = "dev"
  description = "Tag of all images. Deployments name digests."
}

variable "REVISION" {
  default     = ""
  description = "Commit that the images are made of, for a label."
}

variable "SOURCE" {
  default     = ""
  description = "URL of the repository, for a label."
}

group "default" {
  targets = concat(["platform"], [for location in LOCATIONS : replace(location, "/", "-")])
}

target "_image" {
  args = {
    REVISION          = REVISION
    SOURCE            = SOURCE
    SOURCE_DATE_EPOCH = 1735689600 # a constant: with the commit's time every layer would have a new digest at every commit
  }
  # zstd is a tenth smaller than gzip and unpacked in half the time; nodes need containerd 1.5, or Docker 23.
  # force-compression: or a layer stays as some earlier build has left it, and the digest depends on the builder.
  output = ["type=image,compression=zstd,force-compression=true"]
}

# What all others begin with. A target of theirs, and never pushed.
target "shared" {
  inherits   = ["_image"]
  dockerfile = "images/shared/Dockerfile"
}

target "platform" {
  inherits   = ["_image"]
  contexts   = { shared = "target:shared" }
  dockerfile = "images/platform/Dockerfile"
  tags       = ["${REGISTRY}/platform:${TAG}"]
}

target "location" {
  name       = replace(location, "/", "-")
  matrix     = { location = LOCATIONS }
  inherits   = ["_image"]
  contexts   = { shared = "target:shared" }
  dockerfile = "images/code-location/Dockerfile"
  args = {
    TEAM     = split("/", location)[0]
    LOCATION = split("/", location)[1]
  }
  tags = ["${REGISTRY}/${replace(location, "/", "-")}:${TAG}"]
}
