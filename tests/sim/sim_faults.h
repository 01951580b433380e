/* What goes wrong in a simulated world. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

void fault(void);
void heal(void);

#endif
