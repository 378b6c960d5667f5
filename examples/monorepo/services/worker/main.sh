#!/bin/sh
echo "worker has no port"
