#!/bin/sh
echo "api listens on ${PORT:-8080}"
