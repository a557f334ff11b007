// Package calendar says when something may be rolled out.
//
// Input are windows, in which rollouts may begin, and freezes, in which they may
// not, each a cron expression with a length and a time zone, and a moment;
// output is whether it is open then, why, and when that changes. It has no clock
// and waits for nothing.
//
// Times are those of iCalendar (RFC 5545, 3.3.5 and 3.3.6): a beginning that
// daylight saving skips is as much later as the clock was put forward, one that
// comes twice is the first, hours are exact, and days are as long as they are.
// Only an expression that is for every hour begins in the repeated hour as well.
package calendar
