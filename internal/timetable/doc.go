// Package timetable says when the next run of a connection is due: intervals,
// cron expressions in a time zone, and quiet hours. It is pure: the time is
// always an argument. It knows neither the store nor jobs. Start reading at
// [Plan.Next].
package timetable
