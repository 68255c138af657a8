import { useLogto } from '@logto/react';
import { useEffect, useRef, useState } from 'react';
import { patience } from './patience';

type Attempt = { busy?: true; failure?: string };

// useAttempt runs a call of the SDK that makes the browser leave: signIn, signOut.
// Such a call throws nothing and returns nothing; that it failed shows only in
// useLogto's error, which may be an older one.
export function useAttempt(run: () => Promise<void>): [Attempt, () => void] {
  const { error } = useLogto();
  const [attempt, setAttempt] = useState<Attempt>({});
  const before = useRef<Error>(undefined);

  useEffect(() => {
    if (attempt.busy && error && error !== before.current) setAttempt({ failure: error.message });
  }, [attempt, error]);

  return [
    attempt,
    () => {
      if (attempt.busy) return;
      before.current = error;
      setAttempt({ busy: true });
      patience(run()).catch((late: Error) => setAttempt({ failure: late.message }));
    },
  ];
}
