"""Images as services of the machine: laid out read-only, described for runc, and started by a systemd unit."""
