variable "REGISTRY" {
  default = "localhost"
}

variable "TAG" {
  default = "dev"
}

variable "REVISION" {
  default = ""
}
variable "LOCATIONS" {
  default = "operations/departures,operations/punctuality,weather/observations,weather/alerts,fleet/aircraft"
}

group "default" {
  targets = ["location"]
}
target "_image" {
  args = {
    # A constant: with the commit's time every layer would have a new digest at every commit.
    SOURCE_DATE_EPOCH = 1735689600
  }
  output = ["type=image,push=true,rewrite-timestamp=true"]
}

target "shared" {
  inherits = ["_image"]
  dockerfile = "images/shared/Dockerfile"
}

target "location" {
  inherits = ["_image"]
  name     = replace(location, "/", "-")
  matrix   = { location = split(",", LOCATIONS) }
  contexts   = { shared = "target:shared" }
  dockerfile = "images/code-location/Dockerfile"
  args = {
    TEAM     = split("/", location)[0]
    LOCATION = split("/", location)[1]
  }
  tags = ["${REGISTRY}/${replace(location, "/", "-")}:${TAG}"]
  labels = {
    "org.opencontainers.image.title"    = replace(location, "/", "-")
  }
}
