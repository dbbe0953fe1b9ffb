//go:build !linux

package main

import (
	"errors"
	"time"
)

var errLinuxOnly = errors.New("measuring CPU time and memory of processes needs Linux")

func serverCPU(int) (time.Duration, error) { return 0, errLinuxOnly }

func peakRSS() (int64, error) { return 0, errLinuxOnly }
