"""The texts of `pybuild help`, ready to print: nothing is imported to show them."""

from __future__ import annotations

OVERVIEW = """\
usage: pybuild COMMAND [options]

pybuild builds container images from a Buildfile or a Dockerfile: declared, cached step
by step, reproducible by default, without a daemon.

describe and build
  build        make the images that a build file describes
  check        look for mistakes in build files, without building
  fmt          write build files in the one usual way
  convert      write a Dockerfile as a Buildfile
  graph        show what a build consists of
  update       move what Buildfile.lock pins

look back at a build
  builds       list past builds
  timings      show where the time of a build went
  why          say what made a step run again

look at images
  ls           list the images in the store
  inspect      show an image: configuration, layers, digests
  history      show what made each layer of an image
  diff         show what differs between two images
  scan         look for packages, secrets and risky files in an image
  mount        show an image's files in a directory, or list what is shown
  umount       take that away again
  shell        run a locked-down shell in an image

name images, remove them, take them in and out
  tag          give an image further names
  untag        take names of images away
  rmi          remove images, and what they alone need
  import       make an image of a tar of a root file system
  export       write the files of an image as a tar
  save         write images of the store into one file
  load         bring the images of a file into the store

use registries
  login        log in to a registry
  logout       forget the login for a registry
  pull         bring an image from a registry into the store
  push         send an image to a registry
  copy         copy an image from anywhere to anywhere
  sync         keep repositories beside others
  tags         list the tags of a repository
  delete       remove an image from a registry

trust images
  key          make a key that signs images
  sign         sign an image in a registry
  verify       check the signatures of an image

run images as services of the machine
  install      install an image as a systemd service
  upgrade      switch a service to another image
  rollback     switch a service back to what it was
  uninstall    remove a service
  installed    list the services that are installed

care for the store
  df           show what the store's space is used for
  prune        free space in the store
  store        check the store, limit its size, or say where it is

about pybuild
  info         show what pybuild finds on this machine
  version      print the version
  completion   print a completion script for a shell
  help         say more: `pybuild help COMMAND`, `help exit-codes`, `help environment`

start here
  pybuild build                                build ./Buildfile, else ./Dockerfile, into the store
  pybuild build -t app:1 -f Dockerfile .       what `docker build` takes works as it is
  pybuild build -o web.tar                     write it as an OCI archive as well
  pybuild graph                                see what would be done
  pybuild ls                                   see what was made
"""

EXIT_CODES = """\
exit codes

    0  it worked; of `check`: there may be warnings, but no errors
    1  a fault without a better number; `fmt --check`: a file is not in the usual form;
       `store check`: something is damaged; `convert`: something has no equivalent;
       `diff --exit-code`: something differs;
       `scan`: there are findings of the severity of `--fail-on`, or worse
    2  the command line is wrong
    3  the build file is wrong
    4  a graph is malformed
    5  a step ended with a failure
    6  a `test` block failed; nothing was published
    7  the bytes of a secret were found in what a step wrote
    8  the lock file is wrong, or `--locked` would have to change it
    9  a program that the build needs is not installed
   10  a registry refused, failed or could not be reached
   11  bytes do not match their digest, or a document contradicts itself
   12  the store can't be read or written, or is busy
   13  the runtime can't give what a step asks for
   14  a file, URL, git repository or local image can't be read
   15  an output can't be written
   16  nothing of that name is in the store
   17  an executor failed through no fault of the step
   18  an image is not signed as is demanded, or the trust policy refuses it;
       of `verify` also: nothing demands a signature
   19  an image has signatures, and none of them holds
   70  an internal error; the message names the file with the report
  130  interrupted (Ctrl-C)
  141  nobody reads the output any more
  143  terminated (SIGTERM or SIGHUP)
"""

ENVIRONMENT = """\
environment

  PYBUILD_STORE      where the store is; `--store` comes first
                     (default: /var/lib/pybuild for root, else ~/.local/share/pybuild)
  PYBUILD_ADDITIONAL_STORES
                     stores that are only read, parted by colons
  PYBUILD_POLICY     the trust policy that images must meet; `--policy` comes first
                     (default: ~/.config/containers/policy.json, else the one in /etc)
  PYBUILD_KEY_PASSWORD
                     the password of a key that signs, where `--password-file` gives none
  PYBUILD_LIMITS     what an archive may hold, where the defaults are too low or too high:
                     `entries=5000000,bytes=1t` (spec/layers.md has all of them)
  SOURCE_DATE_EPOCH  the time, in seconds since 1970, that files and images get (default: 0);
                     `--timestamp` comes first
  BUILDKIT_PROGRESS  how progress is shown, where `--progress` does not say
  DOCKER_DEFAULT_PLATFORM
                     what a Dockerfile is built for, where `--platform` does not say
  NO_COLOR           if set to anything, no colours
  TMPDIR             where `copy --compress` keeps a layer for a while (default: /var/tmp)
  TERM               `dumb` gives plain lines instead of the live view
  XDG_DATA_HOME      below it is the store of an ordinary user, instead of ~/.local/share
  XDG_STATE_HOME     below it are reports of internal errors, instead of ~/.local/state
"""

TOPICS = {"exit-codes": EXIT_CODES, "environment": ENVIRONMENT}
