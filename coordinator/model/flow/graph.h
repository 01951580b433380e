/* A flow as text in the languages of programs that draw graphs. Pure functions. */
#ifndef FM_FLOW_GRAPH_H
#define FM_FLOW_GRAPH_H

#include "buf.h"
#include "fermata/v1/types.pb-c.h"

/* Append the graph and a NUL that is part of the buffer. The flow must be valid. */
void flow_graph_dot(const Fermata__V1__Flow *f, struct fm_buf *out);
void flow_graph_mermaid(const Fermata__V1__Flow *f, struct fm_buf *out);

#endif
