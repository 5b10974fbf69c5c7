# Images that only tests need: tests/e2e/images/build
variable "REGISTRY" {
  default = "localhost"
}

variable "TAG" {
  default = "dev"
}

variable "TOOLS" {
  default     = ".local/e2e/tools"
  description = "Directory with the program versitygw."
}

variable "E2E_STAND_INS" {
  default     = ""
  description = "1: also what stands in for images of public registries, where none can be had."
}

group "default" {
  targets = concat(
    ["probe", "next-platform", "next-operations-departures", "next-probe-runs"],
    E2E_STAND_INS == "1" ? ["postgres", "object-store"] : [],
  )
}

target "postgres" {
  context = "tests/e2e/images/postgres"
  args    = { SOURCE_DATE_EPOCH = 1735689600 }
  tags    = ["${REGISTRY}/test/postgres:${TAG}"]
}

target "object-store" {
  context  = "tests/e2e/images/object-store"
  contexts = { tools = TOOLS }
  args     = { SOURCE_DATE_EPOCH = 1735689600 }
  tags     = ["${REGISTRY}/test/object-store:${TAG}"]
}

target "probe" {
  context  = "tests/e2e/images/probe"
  contexts = { location = "target:operations-departures" }
  args     = { SOURCE_DATE_EPOCH = 1735689600 }
  tags     = ["${REGISTRY}/test/probe:${TAG}"]
}

# The same again under other digests, to be upgraded to.
target "_next" {
  dockerfile-inline = "FROM image\nLABEL test=next\n"
  args              = { SOURCE_DATE_EPOCH = 1735689600 }
}

target "next-platform" {
  inherits = ["_next"]
  contexts = { image = "target:platform" }
  tags     = ["${REGISTRY}/test/next-platform:${TAG}"]
}

target "next-operations-departures" {
  inherits = ["_next"]
  contexts = { image = "target:operations-departures" }
  tags     = ["${REGISTRY}/test/next-departures:${TAG}"]
}

target "next-probe-runs" {
  inherits = ["_next"]
  contexts = { image = "target:probe" }
  tags     = ["${REGISTRY}/test/next-probe:${TAG}"]
}
