"""The process that has sockets, clocks and disks, and wires signaling and media together."""
