/* What a program under ferrun may ask of its launcher, for C and for every language that calls C. client.h is the C++
 * form and says more. Link the static library: fork_point marks the program itself. */
#ifndef FERRUN_CLIENT_C_H_
#define FERRUN_CLIENT_C_H_

#ifdef __cplusplus
extern "C" {
#endif

/* The worker's place in the job; without a launcher a world of one. -1 when the environment contradicts itself (a rank
 * outside its world, a variable that is not a number): ferrun_environment_error says which variable. */
int ferrun_rank(void);
int ferrun_local_rank(void);
int ferrun_world_size(void);
int ferrun_local_world_size(void);
int ferrun_group_rank(void);
int ferrun_restart_count(void);
int ferrun_max_restarts(void);

/* What is wrong with the environment, "" when nothing is. Valid until the calling thread calls again. */
const char* ferrun_environment_error(void);

/* Unique for one launch, equal on all its ranks and through its restarts; "" without a launcher. Valid until the
 * calling thread calls again. */
const char* ferrun_launch_id(void);

/* A folder of this node's for notes that outlive an attempt; the first worker that has one makes it. "" where there is
 * none. Valid until the calling thread calls again. */
const char* ferrun_launch_dir(void);

/* Writes the message to the error file that ferrun reads for its report. Returns 1 when a file was written, else 0. */
int ferrun_report_error(const char* message);

/* The same, saying whose failure it is: this rank's own, or another rank's to which it lost its connection. When one
 * rank fails all others lose it: ferrun looks for the root cause among those that failed by themselves. */
int ferrun_report_own_error(const char* message);
int ferrun_report_lost_peer(const char* message);

/* From now on an uncaught C++ exception or a fatal signal (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT) writes an error
 * file with a backtrace; then the process ends as it would have. Once, behind the fork point and before threads are
 * started. Returns 1, or 0 where there is no launcher. */
int ferrun_report_crashes(void);

/* From now on SIGTERM, SIGINT and SIGHUP are noted instead of killing the process. The first that was noted, or 0. How
 * long until ferrun kills what has not left, in milliseconds; -1 before a signal was noted, and without ferrun. */
void ferrun_note_stop_signals(void);
int ferrun_noted_stop_signal(void);
int ferrun_milliseconds_to_stop(void);

/* First thing in main: in ferrun's fork template it serves fork requests and returns only in the forked ranks; in an
 * ordinary run it returns at once. No thread may have been started before. */
void ferrun_fork_point(void);

#ifdef __cplusplus
}
#endif

#endif /* FERRUN_CLIENT_C_H_ */
