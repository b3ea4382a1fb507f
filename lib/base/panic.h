/*
 * base/panic.h - the last words of a process, kept where its master can read
 * them.
 * Context:   any process, any thread; async-signal-safe.
 *
 * The master makes one page (a memfd) for each child and keeps it mapped.  A
 * process that finds a bug of its own writes one line there and aborts.  The
 * line names file, line, function and condition, never a value.
 */
#ifndef RELAY_BASE_PANIC_H
#define RELAY_BASE_PANIC_H

#define PANIC_PAGE_BYTES	4096

/* Map the inherited page.  fd -1: none, the text goes to stderr only.
 * Also catches SIGSEGV, SIGBUS, SIGILL and SIGFPE: they leave a line there
 * and then act as ever. */
void panic_init(int fd);

/* Write the line and abort().  Use ensure() of object.h. */
void panic_at(const char *file, int line, const char *func, const char *what)
    __attribute__((__noreturn__, __cold__));

#endif
