/* ctl/pause.h - wait, as a tool may.  Context: blocks. */
#ifndef RELAY_CTL_PAUSE_H
#define RELAY_CTL_PAUSE_H

void pause_ms(unsigned ms);

#endif
