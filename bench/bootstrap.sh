#!/bin/sh
# SPDX-License-Identifier: MIT
# The data disk's set-up as a busybox script with btrfs-progs and chattr: what btrfs-bootstrap replaces.
set -eu
device=$1

top=/run/arcbox/data
tries=50
until [ -b "$device" ]; do
	[ $((tries = tries - 1)) -gt 0 ] || { echo "$device: not available after 5 s" >&2; exit 1; }
	usleep 100000
done
magic=$(dd if="$device" bs=1 skip=65600 count=8 2>/dev/null)
[ "$magic" = _BHRfS_M ] || mkfs.btrfs -q -f "$device" >/dev/null
mkdir -p $top
busybox mount -t btrfs -o compress=zstd:3,discard=async "$device" $top
btrfs filesystem resize max $top >/dev/null
for pair in @docker:docker @containerd:containerd @k3s:rancher/k3s @kubelet:kubelet @cni:cni; do
	name=${pair%%:*} target=/var/lib/${pair#*:}
	[ -d "$top/$name" ] || btrfs subvolume create "$top/$name" >/dev/null
	mkdir -p "$target"
	busybox mount -t btrfs -o "compress=zstd:1,discard=async,noatime,space_cache=v2,subvol=$name" "$device" "$target"
	for dir in io.containerd.metadata.v1.bolt io.containerd.snapshotter.v1.overlayfs containerd network \
		builder buildkit image trust; do
		mkdir -p "$target/$dir"
		chattr +C "$target/$dir"
	done
done
