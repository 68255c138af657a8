import { useLogto } from '@logto/react';
import { useAttempt } from './use-attempt';

export function SignInButton({ label = 'Sign in' }: { label?: string }) {
  const { signIn } = useLogto();
  const [{ busy = false, failure }, start] = useAttempt(() => signIn({ redirectUri: `${window.location.origin}/callback` }));
  return (
    <>
      <button className="primary" aria-disabled={busy} onClick={start}>
        {busy ? 'Going to the sign-in…' : label}
      </button>
      <div role="alert">
        {failure && (
          <p className="answer bad">
            <strong>The sign-in can’t be reached.</strong> Try again in a moment. ({failure})
          </p>
        )}
      </div>
    </>
  );
}
